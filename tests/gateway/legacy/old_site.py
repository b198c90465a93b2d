"""A Django site in one module, as its `asgi.py` would give it."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import asyncio
from typing import Any

import django
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, JsonResponse
from django.urls import path, reverse

import borough
from tests.gateway.legacy.ledger import Entry, Ledger

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests only")
django.setup()


def page(request: Any) -> HttpResponse:
    return HttpResponse(f"page at {reverse('page')}".encode())


async def entry(request: Any) -> JsonResponse:
    made = await _write(request.GET["text"])
    return JsonResponse({"text": made.text, "caller": made.caller})


async def _write(text: str) -> Entry:
    return await borough.client(Ledger).write(text)


def entry_from_a_thread(request: Any) -> JsonResponse:
    made = async_to_sync(_write)(request.GET["text"])
    return JsonResponse({"text": made.text, "caller": made.caller})


BEGUN, ENDED = asyncio.Event(), asyncio.Event()
"""Of the page that nobody waits for to the end."""


async def long_page(request: Any) -> HttpResponse:
    BEGUN.set()
    try:
        await asyncio.Event().wait()
    finally:
        ENDED.set()
    return HttpResponse()


urlpatterns = [
    path("page", page, name="page"),
    path("long-page", long_page),
    path("entry", entry),
    path("entry-from-a-thread", entry_from_a_thread),
]
app = ASGIHandler()
