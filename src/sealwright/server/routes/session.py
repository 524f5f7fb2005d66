"""Logging in, and how the server is."""

from sealwright.server.application import Call, CallScope, Route
from sealwright.service.login import SESSION_SECONDS
from sealwright.service.messages import ChallengeAnswer, ChallengeBody, Health, LoginAnswer, LoginBody


async def health(call: Call) -> Health:
    """Whether the process answers; nothing else is said to strangers."""
    del call
    return Health(status="ok")


async def challenge(call: Call) -> ChallengeAnswer:
    return ChallengeAnswer(challenge=call.context.logins.challenge(call.body.authenticator))


async def log_in(call: Call) -> LoginAnswer:
    token = call.context.logins.log_in(call.body.challenge, call.body.envelope)
    return LoginAnswer(token=token, seconds=SESSION_SECONDS)


async def status(call: Call) -> Health:
    """What the server has to say of itself to members."""
    trouble = call.context.pump.trouble
    if trouble is None and (ill := call.context.key_trouble()):
        return Health(status="degraded", detail=ill)
    if trouble is None:
        return Health(status="ok", detail=f"log size {call.context.ledger.state.size}")
    return Health(status="not signing", detail=f"{trouble.code}: {trouble.message}")


ROUTES = (
    Route(method="GET", path="/health", handler=health, summary="Whether the server answers",
          scope=CallScope.ANYBODY, answer=Health),
    Route(method="POST", path="/v1/challenge", handler=challenge, summary="Ask for a login challenge",
          scope=CallScope.ANYBODY, body=ChallengeBody, answer=ChallengeAnswer),
    Route(method="POST", path="/v1/login", handler=log_in, summary="Log in with a signed challenge",
          scope=CallScope.ANYBODY, body=LoginBody, answer=LoginAnswer),
    Route(method="GET", path="/v1/status", handler=status, summary="How the server is", answer=Health),
)  # fmt: skip
