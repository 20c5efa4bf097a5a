"""Reading a log file and its numbered backups."""


def lines(path):
    """Return all lines, oldest first. The text of each file must end with a newline."""
    backups = sorted(
        path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.name.rpartition(".")[2])
    )
    texts = [file.read_text("utf-8") for file in [*backups, path]]
    assert all(text.endswith("\n") for text in texts if text)
    return "".join(texts).splitlines()
