"""The key service of the contract: all that a verifier needs."""

from typing import Any

from grpc.aio import ServicerContext

from auth.domain.ports import Signer, Store
from auth.domain.revocations import PAGE_LENGTH, PageEnd, RevocationsTooMany
from auth.domain.tokens import TokenPolicy
from auth.messages import public_key_message, revocation_message
from bourse.auth.v1 import keys_pb2, keys_pb2_grpc
from chassis.clock import Clock
from chassis.rpc_server import MAX_MESSAGE_BYTES


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
        request: keys_pb2.ListRevocationsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> keys_pb2.ListRevocationsResponse:
        """List what is refused before it expires: a page of it, or all for who knows no pages."""
        if request.page_size == 0:
            return await self._all_revocations()
        return await self._revocations(PageEnd.read(request.page_token), min(request.page_size, PAGE_LENGTH))

    async def _revocations(self, after: PageEnd | None, length: int) -> keys_pb2.ListRevocationsResponse:
        async with self._store.reading() as unit:
            page = await unit.revocations.standing(self._clock.now(), after=after, at_most=length)
        return keys_pb2.ListRevocationsResponse(
            revocations=[revocation_message(each) for each in page],
            is_beating=True,
            next_page_token="" if len(page) < length else PageEnd.of(page[-1]).written,
        )

    async def _all_revocations(self) -> keys_pb2.ListRevocationsResponse:
        listed = await self._revocations(None, PAGE_LENGTH)
        while listed.next_page_token:
            page = await self._revocations(PageEnd.read(listed.next_page_token), PAGE_LENGTH)
            listed.revocations.extend(page.revocations)
            listed.next_page_token = page.next_page_token
            if listed.ByteSize() > MAX_MESSAGE_BYTES:
                raise RevocationsTooMany
        return listed
