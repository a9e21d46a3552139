"""Small helpers: files, the host's name, the words of an exception."""

from dotflow.utils.basic_functions import basic_callback, basic_function
from dotflow.utils.error_handler import message_error, traceback_error
from dotflow.utils.tools import hostname, read_file, write_file

__all__ = [
    "basic_callback",
    "basic_function",
    "hostname",
    "message_error",
    "read_file",
    "traceback_error",
    "write_file",
]
