import { ago } from "../format";
import { useTranslate } from "../i18n";
import { byName, type Model } from "../live/model";
import { Scroll } from "./Panel";

export function StackTable({ stacks, now }: { stacks: Model["stacks"]; now: number }) {
  const t = useTranslate();
  if (stacks.size === 0) return <p className="empty">{t("stacks.empty")}</p>;
  return (
    <Scroll name="stacks">
      <table>
        <thead>
          <tr>
            {(["name", "env", "commit", "updated", "resources"] as const).map((column) => (
              <th key={column} scope="col" className={column === "resources" ? "number" : undefined}>
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
              <td title={stack.updatedAt ?? undefined}>{ago(stack.updatedAt ?? undefined, now, t)}</td>
              <td className="number">{stack.resources ?? 0}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
