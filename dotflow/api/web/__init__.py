"""The pages that people look at: rendered here, from templates, with nothing from elsewhere."""

from dotflow.api.web.site import add_pages

__all__ = ["add_pages"]
