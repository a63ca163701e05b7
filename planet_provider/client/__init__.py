"""Planet's APIs over httpx: a request is a value (:mod:`~planet_provider.client.call`), a session sends it.

Usable without Airflow::

    from planet_provider.client.api import orders
    from planet_provider.client.config import PlanetConfig
    from planet_provider.client.http.session import PlanetSession

    with PlanetSession(PlanetConfig(api_key="...")) as session:
        order = session.send(orders.get(order_id))
"""
