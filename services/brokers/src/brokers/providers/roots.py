"""Where the brokers are: at their own addresses, or for the sandbox's keys in the sandbox."""

from dataclasses import dataclass

from brokers.domain.brokers import Broker
from brokers.domain.credentials import is_simulated
from brokers.domain.secrets import Secret


@dataclass(frozen=True, slots=True)
class VendorRoots:
    """The configured addresses.

    Attributes:
        kite: of Kite Connect.
        breeze: of Breeze; None for ICICI's own hosts, of which there are several.
        sandbox: of both in the sandbox; None without one.
    """

    kite: str
    breeze: str | None
    sandbox: str | None

    def is_simulated(self, api_key: Secret) -> bool:
        """Say whether a key is the sandbox's.

        Raises:
            CredentialsMalformed: it is and there is no sandbox.
        """
        return is_simulated(api_key, has_sandbox=self.sandbox is not None)

    def of(self, broker: Broker, *, is_simulated: bool) -> str | None:
        """Return a broker's address; None for ICICI's own hosts."""
        if is_simulated:
            return self.sandbox
        return self.kite if broker is Broker.ZERODHA else self.breeze
