"""``python -m alp_assets``: the ``alp`` command."""

from alp_assets.cli import main

if __name__ == "__main__":
    main()
