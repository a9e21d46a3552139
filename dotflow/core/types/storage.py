"""The kinds of storage that the command line knows by name."""


class TypeStorage:
    """The values of `--storage`."""

    DEFAULT = "default"
    FILE = "file"
    S3 = "s3"
    GCS = "gcs"
