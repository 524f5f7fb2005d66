"""Root and policy in force, and the proposals that become the next ones."""

import asyncio

from sealwright.core.errors import Code, RefusedError
from sealwright.evidence.bundle import TrustFile
from sealwright.server.application import Call, CallScope, Route
from sealwright.service import dossier, proposals
from sealwright.service.messages import (
    Applied,
    ApplyBody,
    PolicyAnswer,
    ProposalAnswer,
    ProposalsAnswer,
    ProposeBody,
    SignBody,
)
from sealwright.service.ports import Proposal


async def trust(call: Call) -> TrustFile:
    return await asyncio.to_thread(dossier.trust_file, call.context.ledger)


async def policy(call: Call) -> PolicyAnswer:
    ledger = call.context.ledger
    root, in_force = ledger.state.root, ledger.state.policy
    if root is None:
        raise RefusedError("the log holds no root", code=Code.ROOT_INVALID)
    return PolicyAnswer(
        roots=tuple(ledger.granting(index) for index in ledger.roots),
        root_index=root.index,
        policy=ledger.granting(in_force.index) if in_force else None,
        policy_index=in_force.index if in_force else None,
        sections=ledger.policy_sections(),
    )


async def propose(call: Call) -> ProposalAnswer:
    context, body = call.context, call.body
    if body.kind == "policy":
        made = await asyncio.to_thread(
            proposals.propose_policy, context.ledger, context.documents, context.clock, body.signed, body.sections
        )
    else:
        made = await asyncio.to_thread(
            proposals.propose_root, context.ledger, context.documents, context.clock, body.signed
        )
    return _proposal(made)


async def list_proposals(call: Call) -> ProposalsAnswer:
    return ProposalsAnswer(proposals=tuple(_proposal(p) for p in call.context.documents.proposals()))


async def get_proposal(call: Call) -> ProposalAnswer:
    found = proposals.find(call.context.documents, call.parameter)
    return _proposal(found, call.context.documents.sections(found.digest))


async def sign_proposal(call: Call) -> ProposalAnswer:
    context = call.context
    return _proposal(
        await asyncio.to_thread(
            proposals.add_signature, context.ledger, context.documents, call.parameter, call.body.envelope
        )
    )


async def withdraw_proposal(call: Call) -> ProposalAnswer:
    return _proposal(await asyncio.to_thread(proposals.withdraw, call.context.documents, call.parameter))


async def apply_proposals(call: Call) -> Applied:
    context = call.context
    index = await asyncio.to_thread(
        proposals.apply, context.ledger, context.desk, context.documents, call.body.proposals
    )
    context.pump.wake()
    return Applied(index=index)


def _proposal(proposal: Proposal, sections: tuple[bytes, ...] = ()) -> ProposalAnswer:
    return ProposalAnswer(
        digest=proposal.digest,
        kind=proposal.kind,
        state=proposal.state,
        created=proposal.created,
        signed=proposal.signed,
        sections=sections,
    )


ROUTES = (
    Route(method="GET", path="/v1/trust", handler=trust, summary="The trust file as of now", answer=TrustFile),
    Route(method="GET", path="/v1/policy", handler=policy, summary="Root and policy in force", answer=PolicyAnswer),
    Route(method="POST", path="/v1/proposals", handler=propose, summary="Propose a root or policy",
          scope=CallScope.ADMINISTRATOR, body=ProposeBody, answer=ProposalAnswer),
    Route(method="GET", path="/v1/proposals", handler=list_proposals, summary="List proposals",
          answer=ProposalsAnswer),
    Route(method="GET", path="/v1/proposals/{proposal}", handler=get_proposal, summary="A proposal with its sections",
          answer=ProposalAnswer),
    Route(method="POST", path="/v1/proposals/{proposal}/signatures", handler=sign_proposal,
          summary="Sign a proposal", scope=CallScope.ADMINISTRATOR, body=SignBody, answer=ProposalAnswer),
    Route(method="DELETE", path="/v1/proposals/{proposal}", handler=withdraw_proposal, summary="Withdraw a proposal",
          scope=CallScope.ADMINISTRATOR, answer=ProposalAnswer),
    Route(method="POST", path="/v1/apply", handler=apply_proposals, summary="Log proposals",
          scope=CallScope.ADMINISTRATOR, body=ApplyBody, answer=Applied),
)  # fmt: skip
