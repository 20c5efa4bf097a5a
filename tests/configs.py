"""What the tests of configuration need."""

import logging

import pytest

from threadlog.config import ConfigError, check, dictConfig


@pytest.fixture
def set_up():
    """Let a test configure logging as it likes."""
    loggers = logging.root.manager.loggerDict
    before, _, _ = state()
    yield
    logging.root.handlers = []
    dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"handlers": []}})
    for logger in loggers.values():
        logger.disabled = False  # of a mere place holder, too
    for name, logger in {"": logging.root, **loggers}.items():
        if isinstance(logger, logging.Logger):
            was = before.get(name, (logging.NOTSET, [], [], True, False))
            level, logger.handlers, logger.filters, logger.propagate, logger.disabled = was
            logger.setLevel(level)


def state():
    """Return all of logging's set-up that a config may change."""
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return (
        {
            name: (
                logger.level,
                list(logger.handlers),
                list(logger.filters),
                logger.propagate,
                logger.disabled,
            )
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
        },
        dict(logging._handlers),
        [reference() for reference in logging._handlerList if reference() is not None],
    )


def problems_of(config):
    """Return what is wrong in *config*, a text for each, and see that nothing was changed."""
    before = state()
    with pytest.raises(ConfigError) as checked:
        check(config)
    with pytest.raises(ConfigError) as raised:
        dictConfig(config)
    assert state() == before
    assert raised.value.problems == checked.value.problems
    return str(raised.value).splitlines()
