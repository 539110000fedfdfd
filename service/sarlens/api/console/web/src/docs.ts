// The page of `/docs`: Swagger UI over the gateway's own document.
import { loadDocument, withKey } from "./api_document";

interface Request {
  url: string;
  headers: Record<string, string>;
}
declare const SwaggerUIBundle: (options: object) => void;

const spec = await loadDocument();
if (spec) {
  SwaggerUIBundle({
    spec,
    dom_id: "#document",
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: (request: Request) => {
      if (new URL(request.url, location.href).origin === location.origin) request.headers = withKey(request.headers);
      return request;
    },
  });
}
