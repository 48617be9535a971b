"""From predictions to the work list, with reasons and data problems."""
