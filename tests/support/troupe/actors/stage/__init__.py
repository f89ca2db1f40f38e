"""What happens on the stage."""
