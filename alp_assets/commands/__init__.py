"""The commands of `alp`, a module for each topic; `alp_assets.cli` puts them together."""
