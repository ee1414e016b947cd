// The description of the API as a page: every call with what it takes and answers.
"use strict";

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function describe(path, method, operation) {
  const details = document.createElement("details");
  const summary = element("summary");
  summary.append(element("strong", "", `${method.toUpperCase()} ${path}`), " ", element("span", "quiet", operation.summary || ""));
  details.append(summary);
  if (operation.description) details.append(element("p", "", operation.description));
  const list = element("ul");
  for (const parameter of operation.parameters || []) {
    if (parameter.$ref) list.append(element("li", "", parameter.$ref.split("/").pop()));
    else list.append(element("li", "", `${parameter.in} ${parameter.name}: ${parameter.description || ""}`));
  }
  for (const [code, answer] of Object.entries(operation.responses || {})) {
    list.append(element("li", "", `${code}: ${answer.description || (answer.$ref || "").split("/").pop()}`));
  }
  details.append(list);
  return details;
}

fetch("/api/openapi.json", { credentials: "same-origin" })
  .then((response) => { if (!response.ok) throw new Error(`the server answered ${response.status}: sign in on the page first`); return response.json(); })
  .then((document_) => {
    for (const [path, operations] of Object.entries(document_.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        if (method !== "parameters") document.getElementById("calls").append(describe(path, method, operation));
      }
    }
  })
  .catch((error) => document.getElementById("calls").append(element("p", "error", error.message)));
