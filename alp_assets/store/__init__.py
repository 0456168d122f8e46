"""What lies behind a data root: a disk that machines may share, or a bucket of which a part is kept here."""
