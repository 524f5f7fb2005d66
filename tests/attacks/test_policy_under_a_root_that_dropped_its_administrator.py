"""A policy was signed by somebody whom the newest root lists no more."""

from tests.simulators.instance import Instance

from sealwright.core.errors import Code


def drop_root_b(instance: Instance) -> None:
    remaining = tuple(a for a in instance.root.administrators if a.person == "root-a")
    instance.log_root(instance.next_root(administrators=remaining))


def test_the_policy_in_force_is_void_with_its_root():
    instance = Instance()
    submission = instance.approved()
    drop_root_b(instance)
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT


def test_a_new_policy_signed_by_the_dropped_administrator_is_ignored():
    instance = Instance()
    submission = instance.approved()
    drop_root_b(instance)
    signed = instance.signed_policy(instance.make_policy(), [instance.admins["root-b"]])
    instance.log.append(instance.granting("policy", signed))
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT


def test_a_signature_of_the_dropped_administrator_beside_a_good_one_spoils_the_policy():
    # Whoever adds a signature that does not count says something about it that is not so.
    instance = Instance()
    submission = instance.approved()
    drop_root_b(instance)
    instance.log.append(instance.granting("policy", instance.signed_policy(instance.make_policy())))
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT


def test_a_policy_by_the_remaining_administrator_counts():
    instance = Instance()
    submission = instance.approved()
    drop_root_b(instance)
    del instance.admins["root-b"]
    instance.log_policy()
    assert instance.sign(submission)


def test_a_newer_policy_that_names_the_root_before_is_ignored():
    # Signed by people who are still administrators, but for a root that stands no more.
    instance = Instance()
    submission, old_root = instance.approved(), instance.root_digest
    drop_root_b(instance)
    del instance.admins["root-b"]
    instance.log.append(instance.granting("policy", instance.signed_policy(instance.make_policy(root=old_root))))
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT
