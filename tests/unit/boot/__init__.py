"""What runs in the image, as far as it needs no kernel."""
