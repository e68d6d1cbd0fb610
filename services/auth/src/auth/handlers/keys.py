"""The key service of the contract: all that a verifier needs."""

from typing import Any

from grpc.aio import ServicerContext

from auth.domain.ports import Signer, Store
from auth.domain.tokens import TokenPolicy
from auth.messages import public_key_message, revocation_message
from bourse.auth.v1 import keys_pb2, keys_pb2_grpc
from chassis.clock import Clock


class KeyService(keys_pb2_grpc.KeyServiceServicer):
    """Publishes verification keys and standing revocations."""

    def __init__(self, signer: Signer, store: Store, *, policy: TokenPolicy, clock: Clock) -> None:
        self._signer = signer
        self._store = store
        self._policy = policy
        self._clock = clock

    async def ListPublicKeys(  # the contract's name
        self,
        request: keys_pb2.ListPublicKeysRequest,  # noqa: ARG002  # it asks for nothing in particular
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> keys_pb2.ListPublicKeysResponse:
        """List the verification keys."""
        return keys_pb2.ListPublicKeysResponse(
            keys=[public_key_message(key) for key in self._signer.published_keys()],
            issuer=self._policy.issuer,
            audience=self._policy.audience,
        )

    async def ListRevocations(  # the contract's name
        self,
        request: keys_pb2.ListRevocationsRequest,  # noqa: ARG002  # it asks for nothing in particular
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> keys_pb2.ListRevocationsResponse:
        """List what is refused before it expires."""
        async with self._store.reading() as unit:
            standing = await unit.revocations.standing(self._clock.now())
        return keys_pb2.ListRevocationsResponse(revocations=[revocation_message(each) for each in standing])
