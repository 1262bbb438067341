import type { StackChange } from "../api/types";
import { useTranslate } from "../i18n";

const signs: Record<StackChange["kind"], string> = { create: "+", modify: "~", delete: "−", detach: "×" };

/** More than these are shown when they are asked for. */
const OPEN_AT_MOST = 12;

interface Properties {
  changes: readonly StackChange[];
  leftOut: number;
}

export function Changes({ changes, leftOut }: Properties) {
  const t = useTranslate();
  if (changes.length <= OPEN_AT_MOST) return <List changes={changes} leftOut={leftOut} />;
  return (
    <details className="many">
      <summary>{t("stacks.count", { count: changes.length + leftOut })}</summary>
      <List changes={changes} leftOut={leftOut} />
    </details>
  );
}

/** As `marea preview` prints them. */
function List({ changes, leftOut }: Properties) {
  const t = useTranslate();
  return (
    <ul className="changes">
      {changes.map((change) => (
        <li key={`${change.kind} ${change.target}`} className={change.kind} data-change={change.kind}>
          <span className="sign" aria-hidden="true">
            {signs[change.kind]}
          </span>
          <span className="hidden">{t(`change.${change.kind}`)} </span>
          <code>{change.target}</code>
          {(change.properties ?? []).length > 0 && (
            <ul>
              {(change.properties ?? []).map((property) => (
                <li key={property.path}>
                  <code>
                    {property.path}: {property.before ?? t("change.none")} → {property.after ?? t("change.none")}
                  </code>
                </li>
              ))}
            </ul>
          )}
        </li>
      ))}
      {leftOut > 0 && <li className="faint">{t("stacks.more", { count: leftOut })}</li>}
    </ul>
  );
}
