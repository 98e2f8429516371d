"""The OpenAPI document at `/openapi.json` and its page at `/docs`, which needs nothing from the network."""

from __future__ import annotations

from flask import Response, jsonify, render_template_string
from flask_openapi3.openapi import OpenAPI
from flask_openapi3_swagger.plugins import RegisterPlugin
from flask_openapi3_swagger.templates import swagger_html_string

DOCUMENT_URL = "/openapi.json"
PAGE_URL = "/docs/"


def register(app: OpenAPI) -> None:
    """Serve the document and the page."""
    app.register_blueprint(RegisterPlugin.register(doc_url=DOCUMENT_URL), url_prefix=PAGE_URL.rstrip("/"))

    @app.route(DOCUMENT_URL)
    def openapi_document() -> Response:
        return jsonify(app.api_doc)

    @app.route(PAGE_URL, strict_slashes=True)  # it names its parts relative to itself
    def openapi_page() -> str:
        return render_template_string(swagger_html_string, doc_url=DOCUMENT_URL, oauth_config=None)
