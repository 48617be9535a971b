"""From predictions to a work list with explanations."""
