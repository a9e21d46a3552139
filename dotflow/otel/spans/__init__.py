"""What spans say: names, attributes, links, and where a trace comes from."""
