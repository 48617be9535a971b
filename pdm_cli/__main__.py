"""Run the command line as ``python -m pdm_cli``, the form that jobs and scripts use."""

from pdm_cli.app import main

if __name__ == "__main__":
    main()
