"""Side-by-side measurements. Each prints a table and writes ``bench/results/<name>.json``.

``python -m bench`` runs all of them, ``python -m bench.motors`` and so on one of them. Everything is made in
temporary folders (below ``$TMPDIR``) that are removed again. Figures in seconds hold for the machine that
the result file names, and for nothing else running on it.
"""
