"""The image service: resolve, fetch and render each image once."""
