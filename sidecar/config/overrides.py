"""Request headers that make an application see another request than the one decided on.

Proxies invented them to tell the applications behind them what the client's request was:
its method, host, path, scheme, the client's address, who the user is, whose tenant.
Frameworks believe them, most of them by default or at the turn of one switch (Express's
``trust proxy``, Symfony's trusted proxies, Werkzeug's ``ProxyFix``). From a client they are
lies: the decision was made on the request itself. So Envoy removes every one of them, and
this is the one list: ``envoy/*.yaml`` and the documents are held against it by tests.

Two are not here because Envoy sets them itself, whatever the client said:
``x-forwarded-proto`` and ``x-forwarded-for`` (the latter by overwriting, in the files).
``x-forwarded-client-cert`` is Envoy's too (``forward_client_cert_details``).
"""

from typing import NamedTuple


class Override(NamedTuple):
    """One header, and who reads it."""

    name: str
    changes: str
    """What of the request an application would read from it."""
    read_by: str
    decided_on: bool = False
    """Whether it undoes the decision itself: the sidecar then removes it once more."""


def _rows(changes: str, *rows: tuple[str, str], decided_on: str = "") -> tuple[Override, ...]:
    again = frozenset(decided_on.split())
    return tuple(Override(name, changes, read_by, name in again) for name, read_by in rows)


METHOD = _rows(
    "method",
    (
        "x-http-method-override",
        "Express's method-override, Rack, Symfony, Laravel, ASP.NET, Google",
    ),
    ("x-http-method", "Microsoft's OData, method-override"),
    ("x-method-override", "IBM, method-override"),
    ("x-original-method", "nginx auth_request, ingress-nginx"),
    ("x-forwarded-method", "Traefik's forwardAuth"),
    decided_on="x-http-method-override x-http-method x-method-override",
)
HOST = _rows(
    "host",
    ("forwarded", "RFC 7239: Rails, Spring, Vert.x, aiohttp"),
    ("x-forwarded-host", "Express, Rails, Django, Symfony, Spring, Werkzeug, Next.js"),
    ("x-forwarded-server", "Apache mod_proxy's, Spring, WordPress plug-ins"),
    ("x-forwarded-port", "Rails, Symfony, Spring, Werkzeug"),
    ("x-host", "older PHP and Node applications"),
    ("x-original-host", "ASP.NET, Azure Application Gateway"),
    ("x-http-host-override", "PHP and ASP.NET applications"),
    ("x-envoy-original-host", "applications behind Envoy"),
    ("x-envoy-original-dst-host", "an Envoy behind this one"),
    ("l5d-dst-override", "Linkerd"),
    decided_on="forwarded x-forwarded-host x-host x-original-host",
)
PATH = _rows(
    "path",
    ("x-original-url", "Symfony, Zend, Drupal, IIS's URL Rewrite"),
    ("x-rewrite-url", "Symfony, Zend, Drupal, ISAPI_Rewrite"),
    ("x-original-uri", "nginx auth_request, ingress-nginx"),
    ("x-forwarded-uri", "Traefik's and Caddy's forward_auth"),
    ("x-forwarded-url", "HAProxy recipes, Vert.x"),
    ("x-forwarded-path", "Kong"),
    ("x-forwarded-prefix", "Spring, Werkzeug, Symfony, Traefik"),
    ("x-script-name", "Flask and Django recipes"),
    ("x-envoy-original-path", "applications behind Envoy"),
    ("x-waws-unencoded-url", "Azure App Service"),
    ("x-accel-mapping", "Rack::Sendfile (CVE-2025-61780)"),
    ("x-sendfile-type", "Rack::Sendfile (CVE-2025-61780)"),
    ("x-middleware-subrequest", "Next.js (CVE-2025-29927)"),
    ("x-middleware-rewrite", "Next.js"),
    ("x-invoke-path", "Next.js"),
    ("x-invoke-query", "Next.js"),
    ("x-matched-path", "Next.js"),
    ("x-now-route-matches", "Next.js (CVE-2024-46982)"),
    ("x-middleware-redirect", "Next.js"),
    ("x-middleware-next", "Next.js"),
    ("x-middleware-skip", "Next.js"),
    ("x-middleware-override-headers", "Next.js"),
    ("x-middleware-set-cookie", "Next.js"),
    ("x-react-router-spa-mode", "React Router (CVE-2025-43864)"),
    ("x-react-router-prerender-data", "React Router (CVE-2025-43865)"),
    ("x-astro-path", "Astro on Vercel"),
    ("x-original-prefix", "ASP.NET"),
    ("x-ingress-path", "Home Assistant's add-ons"),
    ("x-cf-forwarded-url", "Cloud Foundry's route services"),
    decided_on="x-original-url x-rewrite-url",
)
SCHEME = _rows(
    "scheme",
    ("x-forwarded-scheme", "Rack, ingress-nginx"),
    ("x-forwarded-protocol", "gunicorn, Django recipes"),
    ("x-forwarded-ssl", "Rack, gunicorn, Symfony recipes"),
    ("x-url-scheme", "older Python and Ruby servers"),
    ("x-scheme", "ingress-nginx, Rack recipes"),
    ("front-end-https", "Microsoft's, PHP applications"),
    ("cloudfront-forwarded-proto", "behind CloudFront"),
    ("x-arr-ssl", "IIS's Application Request Routing"),
    ("x-original-proto", "ASP.NET"),
    ("wl-proxy-ssl", "WebLogic"),
)
CLIENT = _rows(
    "client address",
    ("x-real-ip", "nginx's habit: Go's chi, Gin, Laravel, Node"),
    ("true-client-ip", "Akamai, Cloudflare: Go's chi, request-ip"),
    ("x-client-ip", "Rack's, request-ip, Apache recipes"),
    ("client-ip", "PHP applications, Rails"),
    ("x-cluster-client-ip", "Rackspace, Riverbed: request-ip"),
    ("x-forwarded", "request-ip, PHP applications"),
    ("forwarded-for", "request-ip, PHP applications"),
    ("x-original-forwarded-for", "ingress-nginx"),
    ("x-original-for", "ASP.NET"),
    ("x-remote-ip", "Tomcat recipes"),
    ("x-remote-addr", "PHP applications"),
    ("x-originating-ip", "Microsoft's"),
    ("cf-connecting-ip", "behind Cloudflare"),
    ("cf-connecting-ipv6", "behind Cloudflare"),
    ("cf-pseudo-ipv4", "behind Cloudflare"),
    ("fastly-client-ip", "behind Fastly"),
    ("fly-client-ip", "behind Fly.io"),
    ("do-connecting-ip", "behind DigitalOcean"),
    ("x-azure-clientip", "behind Azure Front Door"),
    ("x-azure-socketip", "behind Azure Front Door"),
    ("x-appengine-user-ip", "Google App Engine"),
    ("x-nf-client-connection-ip", "behind Netlify"),
    ("x-vercel-forwarded-for", "behind Vercel"),
    ("incap-client-ip", "behind Imperva"),
    ("proxy-client-ip", "WebLogic, Java applications"),
    ("wl-proxy-client-ip", "WebLogic, Java applications"),
    ("x-proxyuser-ip", "Google's services"),
    ("x-appengine-remote-addr", "Google App Engine"),
)
IDENTITY = _rows(
    "user",
    ("remote-user", "CGI-style applications"),
    ("x-remote-user", "Kubernetes, Jenkins, Django recipes"),
    ("x-remote-group", "Kubernetes"),
    ("x-forwarded-user", "oauth2-proxy, Jenkins"),
    ("x-forwarded-email", "oauth2-proxy"),
    ("x-forwarded-groups", "oauth2-proxy"),
    ("x-forwarded-preferred-username", "oauth2-proxy"),
    ("x-forwarded-access-token", "oauth2-proxy"),
    ("x-auth-request-user", "oauth2-proxy"),
    ("x-auth-request-email", "oauth2-proxy"),
    ("x-auth-request-groups", "oauth2-proxy"),
    ("x-auth-request-access-token", "oauth2-proxy"),
    ("x-authenticated-user", "Tyk, older gateways"),
    ("x-webauth-user", "Grafana"),
    ("x-amzn-oidc-identity", "behind AWS's load balancer"),
    ("x-amzn-oidc-data", "behind AWS's load balancer"),
    ("x-goog-authenticated-user-email", "behind Google's IAP"),
    ("x-goog-iap-jwt-assertion", "behind Google's IAP"),
    ("x-ms-client-principal", "Azure App Service"),
    ("x-ms-client-principal-id", "Azure App Service"),
    ("x-ms-client-principal-name", "Azure App Service"),
    ("cf-access-jwt-assertion", "behind Cloudflare Access"),
    ("cf-access-authenticated-user-email", "behind Cloudflare Access"),
    ("client-cert", "RFC 9440"),
    ("client-cert-chain", "RFC 9440"),
    ("x-client-cert", "Java and nginx recipes"),
    ("x-ssl-client-cert", "nginx and HAProxy recipes, Keycloak"),
    ("ssl-client-cert", "Apache and ingress-nginx recipes, Keycloak"),
    ("x-ssl-client-verify", "nginx and HAProxy recipes, Puppet"),
    ("x-ssl-client-dn", "HAProxy recipes, Puppet"),
    ("x-arr-clientcert", "Azure App Service"),
    ("x-envoy-peer-metadata", "Istio"),
    ("x-envoy-peer-metadata-id", "Istio"),
    ("remote-groups", "Authelia"),
    ("remote-name", "Authelia"),
    ("remote-email", "Authelia"),
    ("x-remote-name", "Django and Rails recipes"),
    ("x-remote-email", "Django and Rails recipes"),
    ("x-remote-groups", "Django and Rails recipes"),
    ("x-remote-uid", "Kubernetes"),
    ("x-remote-user-id", "Home Assistant's add-ons"),
    ("x-remote-user-name", "Home Assistant's add-ons"),
    ("x-remote-user-display-name", "Home Assistant's add-ons"),
    ("x-auth-request-preferred-username", "oauth2-proxy"),
    ("x-auth-subject", "Keycloak Gatekeeper, louketo"),
    ("x-auth-userid", "Keycloak Gatekeeper, louketo"),
    ("x-auth-username", "Keycloak Gatekeeper, louketo"),
    ("x-auth-email", "Keycloak Gatekeeper, louketo"),
    ("x-auth-groups", "Keycloak Gatekeeper, louketo"),
    ("x-auth-roles", "Keycloak Gatekeeper, louketo"),
    ("x-consumer-id", "Kong"),
    ("x-consumer-custom-id", "Kong"),
    ("x-consumer-username", "Kong"),
    ("x-consumer-groups", "Kong"),
    ("x-authenticated-userid", "Kong"),
    ("x-authenticated-scope", "Kong"),
    ("x-authenticated-groups", "Kong"),
    ("x-credential-identifier", "Kong"),
    ("x-authentik-username", "authentik"),
    ("x-authentik-groups", "authentik"),
    ("x-authentik-entitlements", "authentik"),
    ("x-authentik-email", "authentik"),
    ("x-authentik-name", "authentik"),
    ("x-authentik-uid", "authentik"),
    ("x-authentik-jwt", "authentik"),
    ("x-pomerium-jwt-assertion", "Pomerium"),
    ("x-pomerium-claim-email", "Pomerium"),
    ("x-pomerium-claim-user", "Pomerium"),
    ("x-pomerium-claim-groups", "Pomerium"),
    ("tailscale-user-login", "Tailscale Serve"),
    ("tailscale-user-name", "Tailscale Serve"),
    ("tailscale-app-capabilities", "Tailscale Serve"),
    ("x-vouch-user", "Vouch Proxy"),
    ("x-webauth-name", "Grafana"),
    ("x-webauth-email", "Grafana"),
    ("x-webauth-role", "Grafana"),
    ("x-webauth-groups", "Grafana"),
    ("x-amzn-oidc-accesstoken", "behind AWS's load balancer"),
    ("x-amzn-mtls-clientcert", "behind AWS's load balancer"),
    ("x-amzn-mtls-clientcert-leaf", "behind AWS's load balancer"),
    ("x-amzn-mtls-clientcert-subject", "behind AWS's load balancer"),
    ("x-goog-authenticated-user-id", "behind Google's IAP"),
    ("x-endpoint-api-userinfo", "Google Cloud Endpoints"),
    ("x-apigateway-api-userinfo", "Google API Gateway"),
    ("x-appengine-user-email", "Google App Engine"),
    ("x-appengine-user-id", "Google App Engine"),
    ("x-appengine-user-is-admin", "Google App Engine"),
    ("x-appengine-inbound-appid", "Google App Engine"),
    ("x-appengine-cron", "Google App Engine"),
    ("x-appengine-queuename", "Google App Engine"),
    ("x-ms-client-principal-idp", "Azure App Service"),
    ("x-ms-token-aad-access-token", "Azure App Service"),
    ("x-ms-token-aad-id-token", "Azure App Service"),
    ("x-userinfo", "APISIX, lua-resty-openidc"),
    ("x-id-token", "APISIX, lua-resty-openidc"),
    ("x-jwt-assertion", "WSO2"),
    ("x-jwt-payload", "Envoy's and Istio's recipes"),
    ("l5d-client-id", "Linkerd"),
    ("oidc-claim-sub", "mod_auth_openidc"),
    ("oidc-claim-email", "mod_auth_openidc"),
    ("oidc-claim-preferred-username", "mod_auth_openidc"),
    ("sm-user", "SiteMinder"),
    ("sm-universalid", "SiteMinder"),
    ("iv-user", "IBM WebSEAL"),
    ("iv-groups", "IBM WebSEAL"),
    ("oam-remote-user", "Oracle Access Manager"),
    ("ssl-client-verify", "ingress-nginx"),
    ("ssl-client-subject-dn", "ingress-nginx"),
    ("ssl-client-issuer-dn", "ingress-nginx"),
    ("x-forwarded-tls-client-cert", "Traefik"),
    ("x-forwarded-tls-client-cert-info", "Traefik"),
    ("x-client-verify", "nginx recipes, Puppet"),
    ("x-client-dn", "nginx recipes, Puppet"),
    ("x-ssl-client-s-dn", "nginx recipes"),
    ("x-ssl-client-cn", "HAProxy recipes"),
    ("wl-proxy-client-cert", "WebLogic"),
    ("proxy-authorization", "a proxy behind this one, Google's IAP"),
    ("x-serverless-authorization", "Google Cloud Run"),
)
TENANT = _rows(
    "tenant",
    ("x-scope-orgid", "Grafana's Loki, Mimir, Tempo, Cortex"),
    ("thanos-tenant", "Thanos"),
)
SERVER = _rows("the process's own proxy", ("proxy", "CGI: HTTP_PROXY (httpoxy, CVE-2016-5385)"))
OVERRIDES = (*METHOD, *HOST, *PATH, *SCHEME, *CLIENT, *IDENTITY, *TENANT, *SERVER)
"""All of them. A route, or the configuration, may keep one by name (``keep_overrides``)."""
OVERRIDE_NAMES = frozenset(each.name for each in OVERRIDES)
PROOF_HEADERS = frozenset({"dpop"})
"""What the sidecar reads and removes itself, so that Envoy must not remove it before the Check: the
proof of a bound token (RFC 9449). It may be kept as an override header may."""
