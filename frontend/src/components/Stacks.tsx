import { ago } from "../format";
import { useTranslate } from "../i18n";
import { byName, type Model } from "../live/model";

export function Stacks({ stacks, now }: { stacks: Model["stacks"]; now: number }) {
  const t = useTranslate();
  return (
    <section className="panel" aria-labelledby="stacks-title">
      <div className="heading">
        <h2 id="stacks-title">{t("stacks.title")}</h2>
      </div>
      {stacks.size === 0 ? (
        <p className="empty">{t("stacks.empty")}</p>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-labelledby="stacks-title">
          <table>
            <thead>
              <tr>
                {(["name", "env", "commit", "updated", "resources"] as const).map((column) => (
                  <th key={column} scope="col">
                    {t(`stacks.${column}`)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {byName(stacks.values()).map((stack) => (
                <tr key={stack.name}>
                  <th scope="row">{stack.name}</th>
                  <td>{stack.env}</td>
                  <td>
                    <code>{stack.commit?.slice(0, 9) ?? "–"}</code>
                  </td>
                  <td>{ago(stack.updatedAt ?? undefined, now, t)}</td>
                  <td className="number">{stack.resources ?? 0}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
