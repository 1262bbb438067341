import type { Preview, StackChange } from "../api/types";
import { Changes } from "../components/Changes";
import { Panel } from "../components/Panel";
import { StackTable } from "../components/Stacks";
import { ago } from "../format";
import { useTranslate } from "../i18n";
import { byName, type Model } from "../live/model";

export function Stacks({ model, now }: { model: Model; now: number }) {
  const t = useTranslate();
  return (
    <>
      <Panel name="stacks" title={t("stacks.title")}>
        <StackTable stacks={model.stacks} now={now} />
      </Panel>
      <Panel name="preview" title={t("preview.title")} aside={model.preview && <PreviewOf preview={model.preview} now={now} />}>
        {model.preview === undefined ? <p className="empty">{t("preview.empty")}</p> : <PreviewBody preview={model.preview} />}
      </Panel>
      <Panel name="changes" title={t("stacks.changes")}>
        {byName(model.stacks.values()).map((stack) => (
          <div key={stack.name} className="stack-changes">
            <h3>{stack.name}</h3>
            {(stack.changes ?? []).length === 0 ? <p className="faint">{t("stacks.noChanges")}</p> : <Changes changes={stack.changes ?? []} leftOut={stack.changesLeftOut ?? 0} />}
          </div>
        ))}
      </Panel>
    </>
  );
}

function PreviewOf({ preview, now }: { preview: Preview; now: number }) {
  const t = useTranslate();
  return <p className="faint">{t("preview.of", { env: preview.env + (preview.commit ? ` ${preview.commit.slice(0, 9)}` : ""), when: ago(preview.at, now, t) })}</p>;
}

function PreviewBody({ preview }: { preview: Preview }) {
  const t = useTranslate();
  const count = (changes: readonly StackChange[], kind: StackChange["kind"]) => changes.filter((change) => change.kind === kind).length;
  return (
    <>
      {preview.stacks.map((stack) => (
        <div key={stack.stack} className="stack-changes" data-preview={stack.stack}>
          <h3>
            {stack.stack}{" "}
            <span className="faint">
              {stack.changes.length === 0 ? t("preview.unchanged") : t("preview.counts", { create: count(stack.changes, "create"), modify: count(stack.changes, "modify"), delete: count(stack.changes, "delete") })}
            </span>
          </h3>
          <Changes changes={stack.changes} leftOut={stack.changesLeftOut ?? 0} />
        </div>
      ))}
      {preview.monthlyCost && (
        <p className="note" lang="en">
          {preview.monthlyCost}
        </p>
      )}
    </>
  );
}
