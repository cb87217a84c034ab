"""A projection that tells other systems."""

from dataclasses import dataclass

from eventfabric import Event, Projection, Tx, http

projection = Projection("py_reactor", mode="async")


@dataclass
class Registered:
    url: str
    name: str


@projection.on(Registered)
def registered(event: Event[Registered], tx: Tx) -> None:
    url, name = event.data.url, event.data.name
    answer = http.post(event, url, json={"name": name}, headers={"X-SDK": "python"}, timeout=2)
    then = answer.raise_for_status().headers.get("x-next")
    if then:
        http.delete(event, then).raise_for_status()
