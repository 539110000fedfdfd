"""What a model is asked, in the words it was trained on, and what its answers mean."""
