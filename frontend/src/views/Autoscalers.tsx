import { Hpas } from "../components/Hpas";
import { Panel } from "../components/Panel";
import { useTranslate } from "../i18n";
import type { Model } from "../live/model";
import { usePreference } from "../preferences";

const windows = ["900", "3600", "21600"] as const;

export function Autoscalers({ model, now }: { model: Model; now: number }) {
  const t = useTranslate();
  const [shown, setShown] = usePreference("marea.window", windows, "900");
  const choice = (
    <fieldset className="choice">
      <legend className="hidden">{t("window.label")}</legend>
      {windows.map((seconds) => (
        <label key={seconds} className={seconds === shown ? "chosen" : ""}>
          <input type="radio" name="window" className="hidden" checked={seconds === shown} onChange={() => setShown(seconds)} />
          {t(`window.${seconds}`)}
        </label>
      ))}
    </fieldset>
  );
  return (
    <Panel name="hpas" title={t("hpa.title")} aside={choice}>
      <Hpas hpas={model.hpas} replicas={model.replicas} now={now} seconds={Number(shown)} detailed />
    </Panel>
  );
}
