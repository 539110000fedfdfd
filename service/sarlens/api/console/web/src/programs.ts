// What the page did, as programs to paste. A key is never in them: they read it from the environment.
import { apiKey } from "./api_key";
import { apiUrl } from "./api";

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function curl(path: string, body: object | undefined, ...headers: string[]): string {
  const lines = [`curl ${quoted(apiUrl(path))}`];
  if (apiKey()) lines.push('-H "Authorization: Bearer $SARLENS_API_KEY"');
  if (body) lines.push("-H 'Content-Type: application/json'");
  lines.push(...headers.map((header) => `-H ${quoted(header)}`));
  if (body) lines.push(`-d ${quoted(JSON.stringify(body))}`);
  return `${lines.join(" \\\n  ")}\n`;
}

/** A value as a Python literal. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${literal(member)}`).join(", ")}}`;
}

export function curlOfQuestion(body: object): string {
  return curl("v1/sar/vqa", body);
}

export function curlOfSurvey(body: object): string {
  return curl("v1/sar/surveys", body, "Prefer: respond-async");
}

/** A program of the standard library, which runs where Sarlens isn't installed. */
function program(path: string, body: object, last: string[]): string {
  const header = apiKey() ? ', "Authorization": "Bearer " + os.environ["SARLENS_API_KEY"]' : "";
  return [
    "import json",
    ...(apiKey() ? ["import os"] : []),
    "import urllib.request",
    "",
    `body = ${literal(body)}`,
    "request = urllib.request.Request(",
    `    ${JSON.stringify(apiUrl(path))},`,
    "    json.dumps(body).encode(),",
    `    {"Content-Type": "application/json"${header}},`,
    ")",
    "with urllib.request.urlopen(request) as response:",
    "    document = json.load(response)",
    ...last,
    "",
  ].join("\n");
}

export function pythonOfQuestion(body: object): string {
  return program("v1/sar/vqa", body, [
    'for item in document["data"]:',
    '    print(item["question"], item.get("text"), item.get("confidence"))',
  ]);
}

export function pythonOfSurvey(body: object): string {
  return program("v1/sar/surveys", body, ['print(document["survey"]["totals"])']);
}

/** For the Python console of QGIS: the answers as a layer. */
export function qgisOfSurvey(survey: string): string {
  const url = JSON.stringify(apiUrl(`jobs/${survey}/results/answers`));
  return `layer = QgsVectorLayer(${url}, "Sarlens survey", "ogr")\nQgsProject.instance().addMapLayer(layer)\n`;
}
