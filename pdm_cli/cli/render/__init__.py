"""Terminal output of commands: tables, plots and plans."""
