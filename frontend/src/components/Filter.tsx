import { useTranslate } from "../i18n";

interface Properties {
  value: string;
  setValue: (value: string) => void;
  shown: number;
  all: number;
}

export function Filter({ value, setValue, shown, all }: Properties) {
  const t = useTranslate();
  return (
    <>
      <label className="filter">
        <span className="hidden">{t("filter.label")}</span>
        <input type="search" value={value} placeholder={t("filter.placeholder")} onChange={(event) => setValue(event.target.value)} />
      </label>
      <span className="faint" role="status">
        {t("filter.shown", { shown, all })}
      </span>
    </>
  );
}

/** Every word must be somewhere. */
export function fits(filter: string, ...texts: (string | null | undefined)[]): boolean {
  const whole = texts.join(" ").toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => whole.includes(word));
}
