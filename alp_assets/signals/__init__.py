"""Motor current, flux and vibration: series instead of sound."""
