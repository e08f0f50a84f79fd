"""What the server answers where it does not do what was asked: a status, and a body that clients know how to read."""

from __future__ import annotations

from typing import Any

from ultraedit.errors import UltraEditError

KINDS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    409: "ConflictError",
    412: "PreconditionFailedError",
    413: "RequestTooLargeError",
    421: "MisdirectedRequestError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}
"""Status -> the error's type, as OpenAI's clients and vLLM name them."""


class Refusal(UltraEditError):  # noqa: N818 - an answer, and not a bug
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        rows: list[dict[str, Any]] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            status: The HTTP status.
            message: One sentence for a person.
            param: The field of the request that is at fault.
            retry_after: Seconds after which the same request may be sent again.
            rows: What is wrong with each of many facts, as {"row", "field", "message"}.
            more: What else the body holds beside "error".
        """
        super().__init__(message)
        self.status = status
        self.param = param
        self.retry_after = retry_after
        self.rows = rows
        self.more = more or {}

    @classmethod
    def of_full_queue(cls, waiting: str, again: str, retry_after: int) -> Refusal:
        """As many wait as may.

        Args:
            waiting: How many of what.
            again: What to do in a moment.
            retry_after: Seconds after which the same request may be sent again.
        """
        said = f"{waiting} are waiting, which is as many as this server lets wait; {again} in a moment."
        return cls(429, said, retry_after=retry_after)

    def body(self) -> dict[str, Any]:
        """The answer's body, as the `openai` client reads it."""
        kind = KINDS.get(self.status, "APIError")
        error: dict[str, Any] = {
            "message": str(self),
            "type": kind,
            "param": self.param,
            "code": self.status,
        }
        if self.rows is not None:
            error["rows"] = self.rows
        return {"error": error} | self.more

    def headers(self) -> dict[str, str]:
        """The answer's own headers."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        return found
