// The page of `/redoc`: ReDoc over the gateway's own document.
import { loadDocument } from "./api_document";

declare const Redoc: { init(spec: object, options: object, element: Element): void };

const spec = await loadDocument();
const element = document.getElementById("document");
if (spec && element) Redoc.init(spec, { disableSearch: true, hideLoading: true }, element);
