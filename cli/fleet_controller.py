"""Connect deployment to controllers: the adapters behind deploy's protocols FleetController and HeadNodeController."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from heyfleet.controller.client import Controller
from heyfleet.controller.security import folder as credentials_folder
from heyfleet.deploy.lifecycle.fleet_controller import Roster, RosterEntry
from heyfleet.errors import InputError

# Credentials that are made for a fleet are worthless after it, but clocks may differ.
_VALID_BEYOND_FLEET = timedelta(hours=1)


class RemoteController:
    """A `heyfleet controller` that keeps running."""

    def __init__(self, address: str, folder: str) -> None:
        self.address = address
        self._client = Controller(address, folder)

    def roster(self) -> Roster:
        """Return the agents that the controller knows now. Raises InputError."""
        reply = self._client.roster()
        agents = [
            RosterEntry(
                agent=each.agent,
                attached=each.attached,
                cores=each.facts.cores,
                open_files=each.facts.open_files,
                left=each.leave_reason,
            )
            for each in reply.agents
        ]
        return Roster(agents=agents, rejections=list(reply.rejections))

    def issue_token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """Issue a join token in the credentials folder, which must be the controller's own. Raises InputError."""
        return self._client.issue_token(uses, valid_s)


class FutureController(RemoteController):
    """A controller that a head node will run, with copies of the credentials in a folder here."""

    def __init__(self, folder: str, lifetime_s: int) -> None:
        """Make the credentials if the folder has none. Raises InputError."""
        self._folder = folder
        if not (Path(folder) / credentials_folder.CA).exists():
            try:
                credentials_folder.init(folder, timedelta(seconds=lifetime_s) + _VALID_BEYOND_FLEET)
            except credentials_folder.CredentialsError as error:
                raise InputError(f"--credentials: {error}") from None
        super().__init__("127.0.0.1", folder)  # until the head node's address is known

    def connect(self, address: str) -> None:
        """Use the controller at this HOST:PORT from now on."""
        self.address = address
        self._client = Controller(address, self._folder)

    def credentials(self) -> Mapping[str, bytes]:
        """Return the files that the controller needs, by name. The operator's key stays here."""
        names = (credentials_folder.CA, credentials_folder.CA_KEY, credentials_folder.TOKENS)
        return {name: credentials_folder.read_credential(Path(self._folder), name) for name in names}
