"""Keys of one profile of AWS's shared files, and of the profiles that it leads to.

What it is not: which profile is asked for (`credentials`). Invariant: every profile ends in keys, or in one
`ConfigError` when the configuration is read; a circle of profiles is named.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from trimtab.errors import ConfigError
from trimtab.providers.aws.fetching import SESSION_NAME, assumed_role, process, web_identity
from trimtab.providers.aws.machine import ca_bundle, checked, sts_target
from trimtab.providers.aws.profiles import SharedFiles
from trimtab.providers.aws.signing import KeySource
from trimtab.providers.aws.sigv4 import Keys
from trimtab.providers.aws.sources import from_container, from_environment, from_instance
from trimtab.providers.machine import Machine
from trimtab.providers.renewing import Renewing, Steady


class ProfileKeys:
    """Resolves profiles."""

    def __init__(self, files: SharedFiles, machine: Machine, region: str, place: str) -> None:
        """`place` is where the first profile was named, for errors."""
        self._files = files
        self._machine = machine
        self._region = region
        self._place = place

    def source(self, profile: str, before: tuple[str, ...] = ()) -> KeySource | None:
        """The keys that a profile has or leads to; `None` where it says nothing of any. Raises `ConfigError`."""
        if not self._files.has(profile):
            raise ConfigError(
                self._place,
                f"{profile!r}: no such profile in {self._files.credentials_path} or {self._files.config_path}; add "
                "it, or correct the name",
            )
        stored, configured = self._files.stored(profile), self._files.configured(profile)
        everything = {**stored, **configured}
        if "role_arn" in everything and (profile not in before or not _holds_keys(everything)):
            return self._role(profile, everything, before)
        if any(name.startswith("sso_") for name in everything):
            raise ConfigError(
                self._place,
                f"{profile!r}: signs in through IAM Identity Center, which Trimtab does not do; {_instead(profile)}",
            )
        return self._own(profile, self._files.credentials_path, stored) or self._own(
            profile, self._files.config_path, configured
        )

    def _role(self, profile: str, section: Mapping[str, str], before: tuple[str, ...]) -> KeySource:
        machine = self._machine
        role = section["role_arn"]
        session = section.get("role_session_name") or SESSION_NAME
        sts = sts_target(machine, self._region)
        if token_file := section.get("web_identity_token_file"):
            return Renewing(
                web_identity(role, token_file, session, sts, ca_bundle(machine)), machine.now, of="AWS"
            )
        if "mfa_serial" in section:
            raise ConfigError(
                self._place,
                f"{profile!r}: needs the code of a device (mfa_serial), and nobody is here to type it; "
                f"{_instead(profile)}",
            )
        base = self._base(profile, section, before)
        fetch = assumed_role(
            role,
            session,
            section.get("external_id"),
            base,
            sts,
            self._region,
            machine.now,
            ca_bundle(machine),
        )
        return Renewing(fetch, machine.now, base, of="AWS")

    def _base(self, profile: str, section: Mapping[str, str], before: tuple[str, ...]) -> KeySource:
        """Keys with which the role of a profile is assumed."""
        leads = section.get("source_profile")
        if leads is not None:
            if leads in before or (leads == profile and not _holds_keys(section)):
                raise ConfigError(
                    self._place, f"{profile!r}: source_profile leads back to {leads!r}; correct it"
                )
            found = self.source(leads, (*before, profile))
        else:
            ways = {
                "Environment": lambda: from_environment(self._machine, self._region),
                "EcsContainer": lambda: from_container(self._machine),
                "Ec2InstanceMetadata": lambda: from_instance(self._machine),
            }
            leads = section.get("credential_source", "")
            if leads not in ways:
                raise ConfigError(
                    self._place,
                    f"{profile!r}: has a role_arn and no source_profile or credential_source ({', '.join(ways)}); "
                    "set one",
                )
            found = ways[leads]()
        if found is None:
            raise ConfigError(
                self._place, f"{profile!r}: its role is assumed with {leads!r}, which has no keys"
            )
        return found

    def _own(self, profile: str, path: Path, section: Mapping[str, str]) -> KeySource | None:
        """Keys, or a program that gives them, in one file."""
        if access := section.get("aws_access_key_id"):
            secret = section.get("aws_secret_access_key")
            if not secret:
                raise ConfigError(
                    str(path), f"profile {profile!r} has aws_access_key_id and no aws_secret_access_key"
                )
            return Steady(checked(Keys(access, secret, section.get("aws_session_token") or None), str(path)))
        if command := section.get("credential_process"):
            try:
                words = shlex.split(command)
            except ValueError as problem:
                raise ConfigError(
                    str(path), f"credential_process of profile {profile!r}: {problem}"
                ) from None
            if words:
                return Renewing(process(words, f"profile {profile!r}"), self._machine.now, of="AWS")
        return None


def _holds_keys(section: Mapping[str, str]) -> bool:
    return "aws_access_key_id" in section


def _instead(profile: str) -> str:
    return (
        f"get its keys with credential_process = aws configure export-credentials --profile {profile}, in another "
        "profile, or set keys"
    )
