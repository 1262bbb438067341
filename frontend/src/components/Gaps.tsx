import type { Cluster } from "../api/types";
import { useTranslate } from "../i18n";

/** What the view lacks and why: a page that shows half a cluster must say so. */
export function Gaps({ gaps }: { gaps: Cluster["gaps"] }) {
  const t = useTranslate();
  if (gaps.length === 0) return null;
  return (
    <section className="gaps" role="alert">
      <h2>{t("gaps.title")}</h2>
      <ul>
        {gaps.map((gap) => (
          <li key={gap.part}>
            <strong>{gap.part}</strong>: {gap.reason}
          </li>
        ))}
      </ul>
    </section>
  );
}
