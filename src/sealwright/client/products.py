"""Products of a draft: the rules of one environment, added, changed member by member, or taken out with the keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from sealwright.client.drafts import Draft
from sealwright.client.ids import check_id, check_member_state
from sealwright.core import records
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Mode, QuorumGroup, Scope

HARDWARE = (KeyGrade.HARDWARE_CLAIMED, KeyGrade.HARDWARE_ATTESTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What somebody said about a product; None where they said nothing."""

    approvals: int | None = None
    recomputed: int | None = None
    approvers: Sequence[str] | None = None
    requesters: Sequence[str] | None = None
    key_grades: Sequence[KeyGrade] | None = None
    member_states: Sequence[str] | None = None
    support_until: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return self == Rules()


def add(draft: Draft, product: str, environment: Environment, rules: Rules) -> str:
    """Add a product's environment; return its id.  What was not said is filled in with what is usual."""
    scope_id = f"{product}/{environment}"
    check_id(product, "PRODUCT", "router")
    if draft.get(Scope, scope_id) is not None:
        raise RefusedError(
            f"there is a {scope_id} already",
            code=Code.CONFLICT,
            hint=f"`sealwright product change {product} --environment {environment}` changes what you name, no more",
        )
    _check(environment, rules)
    approvals = 2 if rules.approvals is None else rules.approvals
    recomputed = min(1, approvals) if rules.recomputed is None else rules.recomputed
    usual = HARDWARE if environment is Environment.PRODUCTION else tuple(KeyGrade)
    _put(
        draft,
        Scope(
            type="scope",
            format=1,
            salt="0" * 32,
            id=scope_id,
            product=product,
            environment=environment,
            requesters=tuple(rules.requesters or ["developer"]),
            quorum=_quorum(tuple(rules.approvers or ["approver"]), approvals, recomputed),
            gates=(),
            modes=(Mode.UPLOAD,),
            key_grades=tuple(rules.key_grades or usual),
            member_states=tuple(rules.member_states or ()),
            support_until=rules.support_until,
        ),
    )
    return scope_id


def change(draft: Draft, product: str, environment: Environment, rules: Rules) -> str:
    """Change what was said of a product's environment, and nothing else; return its id."""
    scope = find(draft, f"{product}/{environment}")
    if rules.is_empty:
        raise RefusedError("nothing is named that should change", code=Code.CONFLICT, hint="see the options: --help")
    _check(environment, rules)
    if rules.key_grades is not None:
        lost = [k.id for k in keys_of(draft, scope) if k.grade in scope.key_grades and k.grade not in rules.key_grades]
        if lost:
            raise RefusedError(
                f"keys of {scope.id} would be shut out: {', '.join(lost)}",
                code=Code.CONFLICT,
                hint="name their grade too, or `sealwright key remove` them first",
            )
    _put(
        draft,
        replace(
            scope,
            requesters=scope.requesters if rules.requesters is None else tuple(rules.requesters),
            quorum=_changed_quorum(scope, rules),
            key_grades=scope.key_grades if rules.key_grades is None else tuple(rules.key_grades),
            member_states=scope.member_states if rules.member_states is None else tuple(rules.member_states),
            support_until=scope.support_until if rules.support_until is None else rules.support_until,
        ),
    )
    return scope.id


def _check(environment: Environment, rules: Rules) -> None:
    """Refuse at once what the policy would be refused for."""
    for state in rules.member_states or ():
        check_member_state(state)
    if environment is Environment.PRODUCTION and rules.approvals == 0:
        raise RefusedError(
            "a production environment asks for no approval",
            code=Code.POLICY_INVALID,
            hint="production needs two people in all: --approvals 1 at least",
        )


def remove(draft: Draft, scope_id: str, *, with_keys: bool) -> list[str]:
    """Take a product's environment out, ``with_keys`` together with its keys; return the keys taken out."""
    scope = find(draft, scope_id)
    keys = [key.id for key in keys_of(draft, scope)]
    if keys and not with_keys:
        raise RefusedError(
            f"{scope_id} has keys: {', '.join(keys)}; a key without its product is refused",
            code=Code.CONFLICT,
            hint=f"`sealwright product remove {scope_id} --with-keys` takes them out of the policy too",
        )
    for key in keys:
        draft.remove("key-profile", key)
    draft.remove("scope", scope_id)
    return keys


def find(draft: Draft, scope_id: str) -> Scope:
    """Return a scope of the draft; ``RefusedError`` (``not-found``) when there is none of that id."""
    scope = draft.get(Scope, scope_id)
    if scope is None:
        known = [s.id for s in draft.all(Scope)]
        close = get_close_matches(scope_id, known, 1)
        raise RefusedError(
            f"there is no {scope_id[:96]}",
            code=Code.NOT_FOUND,
            hint=f"did you mean {close[0]}?" if close else f"there is {', '.join(known) or 'none yet'}",
        )
    return scope


def keys_of(draft: Draft, scope: Scope) -> list[KeyProfile]:
    """Return the keys of a scope."""
    return [k for k in draft.all(KeyProfile) if (k.product, k.environment) == (scope.product, scope.environment)]


def _changed_quorum(scope: Scope, rules: Rules) -> tuple[QuorumGroup, ...]:
    if rules.approvals is None and rules.recomputed is None and rules.approvers is None:
        return scope.quorum
    if len(scope.quorum) > 1:
        raise RefusedError(
            f"{scope.id} has {len(scope.quorum)} groups of approvers: which one is meant?",
            code=Code.CONFLICT,
            hint="take the product out and add it anew with the rules that it shall have",
        )
    old = scope.quorum[0] if scope.quorum else QuorumGroup(roles=("approver",), approvals=0, recomputed=0)
    approvals = old.approvals if rules.approvals is None else rules.approvals
    return _quorum(
        old.roles if rules.approvers is None else tuple(rules.approvers),
        approvals,
        old.recomputed if rules.recomputed is None else rules.recomputed,
    )


def _quorum(roles: tuple[str, ...], approvals: int, recomputed: int) -> tuple[QuorumGroup, ...]:
    if recomputed > approvals:
        raise RefusedError(
            f"{recomputed} recomputed approvals of {approvals} approvals cannot be",
            code=Code.POLICY_INVALID,
            hint="give --approvals and --recomputed together",
        )
    return (QuorumGroup(roles=roles, approvals=approvals, recomputed=recomputed),) if approvals else ()


def _put(draft: Draft, scope: Scope) -> None:
    draft.put(records.load(Scope, records.dump(scope)))
