"""HTTP API and browser console of a data root."""
