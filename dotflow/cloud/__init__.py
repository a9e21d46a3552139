"""What a managed run needs on a platform: files that `dotflow cloud` writes."""
