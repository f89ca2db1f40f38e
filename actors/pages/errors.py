"""What can go wrong while a page is analysed; of fetching it: broker/fetching/errors.py.

    PageError
    ├── PromptError                 final: the template names something we do not have
    └── AnalyserError
        ├── PromptRefusedError      final: the model's service will not take this request
        ├── ModelBusyError          429: come back after ``retry_after``
        ├── ModelUnavailableError   5xx, no connection or no answer in time
        └── MalformedAnswerError    an answer, but not the list that was asked for

``final`` says that another try cannot help.
"""

from broker import ProviderError


class PageError(ProviderError):
    """The root of this domain's errors."""


class PromptError(PageError):
    """A prompt template names a placeholder that has no value."""

    final = True


class AnalyserError(PageError):
    """The analyser gave no recommendations."""


class PromptRefusedError(AnalyserError):
    """The model's service refused the request itself: wrong key, unknown model, prompt too long."""

    final = True


class ModelBusyError(AnalyserError):
    """The model's service asks for fewer requests."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """The Retry-After header as sent, seconds or an HTTP date; None when there was none."""


class ModelUnavailableError(AnalyserError):
    """The model's service failed, or could not be reached in time."""


class MalformedAnswerError(AnalyserError):
    """The model answered something other than a list of recommendations."""
