import type { Cluster } from "../api/types";
import { useTranslate, type Language } from "../i18n";
import type { Connection } from "../live/stream";
import type { Theme } from "../preferences";
import { Link, path, views, type View } from "../routes";

interface Properties {
  view: View;
  cluster: Cluster | undefined;
  connection: Connection;
  theme: Theme;
  setTheme: (theme: Theme) => void;
  language: Language;
  setLanguage: (language: Language) => void;
}

export function Header({ view, cluster, connection, theme, setTheme, language, setLanguage }: Properties) {
  const t = useTranslate();
  return (
    <header className="bar">
      <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
        <path d="M3 13c4.3-5.5 8.7-5.5 13 0s8.7 5.5 13 0M3 21c4.3-5.5 8.7-5.5 13 0s8.7 5.5 13 0" />
      </svg>
      <div className="brand">
        <h1>marea</h1>
        <p>
          {t("app.tagline")}
          {cluster && (
            <>
              {" · "}
              <strong>{cluster.name}</strong> {cluster.version}
            </>
          )}
        </p>
      </div>
      <nav aria-label={t("nav.label")}>
        <ul>
          {views.map((name) => (
            <li key={name}>
              <Link to={path(name)} current={name === view}>
                {t(`nav.${name}`)}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <p className={`connection ${connection}`} role="status">
        <span className="beacon" aria-hidden="true" />
        {t(`connection.${connection}`)}
      </p>
      <label>
        <span className="hidden">{t("language.label")}</span>
        <select value={language} onChange={(event) => setLanguage(event.target.value as Language)}>
          <option value="en">English</option>
          <option value="es">Español</option>
        </select>
      </label>
      <label>
        <span className="hidden">{t("theme.label")}</span>
        <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
          {(["system", "light", "dark"] as const).map((name) => (
            <option key={name} value={name}>
              {t(`theme.${name}`)}
            </option>
          ))}
        </select>
      </label>
    </header>
  );
}
