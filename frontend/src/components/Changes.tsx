import type { StackChange } from "../api/types";
import { useTranslate } from "../i18n";

const signs: Record<StackChange["kind"], string> = { create: "+", modify: "~", delete: "−", detach: "×" };

/** As `marea preview` prints them. */
export function Changes({ changes, leftOut }: { changes: readonly StackChange[]; leftOut: number }) {
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
