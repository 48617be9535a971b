"""Run the command line as ``python -m pdm_cli``, the form that jobs and scripts use."""


def main() -> None:
    """Run the command line; imported late, for worker processes import this module and need no command line."""
    from pdm_cli.app import main as run

    run()


if __name__ == "__main__":
    main()
