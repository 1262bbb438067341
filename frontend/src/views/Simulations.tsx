import { useState } from "react";
import type { Simulation } from "../api/types";
import { Panel, Scroll } from "../components/Panel";
import { SimulationForm } from "../components/SimulationForm";
import { SimulationResult } from "../components/SimulationResult";
import { ago, dollars } from "../format";
import { useTranslate, type Translate } from "../i18n";
import { cancel, isActive, Refused, useSimulation, useSimulations } from "../live/simulations";
import { Link, path } from "../routes";

export function Simulations({ id, now }: { id: string | undefined; now: number }) {
  // Kept for as long as the page is open, and nowhere else.
  const [token, setToken] = useState("");
  return id === undefined ? <All now={now} token={token} setToken={setToken} /> : <One id={id} now={now} />;
}

export function stateOf(simulation: Simulation, t: Translate): string {
  return t(`sim.state.${simulation.state}`, { percent: Math.round(simulation.progress * 100) });
}

interface AllProperties {
  now: number;
  token: string;
  setToken: (token: string) => void;
}

function All({ now, token, setToken }: AllProperties) {
  const t = useTranslate();
  const { value, refresh } = useSimulations();
  const [problem, setProblem] = useState<Refused | undefined>(undefined);
  const remove = async (id: string) => {
    try {
      await cancel(id, token);
      setProblem(undefined);
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(String(error), false));
    }
    refresh();
  };
  return (
    <>
      <SimulationForm token={token} setToken={setToken} problem={problem} setProblem={setProblem} started={refresh} />
      <Panel name="simulations" title={t("sim.list")}>
        {typeof value === "string" ? (
          <p className="empty" role="status">
            {t(value === "loading" ? "sim.loading" : "sim.away")}
          </p>
        ) : value.length === 0 ? (
          <p className="empty">{t("sim.empty")}</p>
        ) : (
          <Scroll name="simulations">
            <table>
              <thead>
                <tr>
                  <th scope="col">{t("sim.name")}</th>
                  <th scope="col">{t("sim.state")}</th>
                  <th scope="col" className="number">
                    {t("sim.cost")}
                  </th>
                  <th scope="col" className="number">
                    p99
                  </th>
                  <th scope="col">{t("sim.when")}</th>
                  <th scope="col">
                    <span className="hidden">{t("sim.cancel")}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {value.map((one) => (
                  <Row key={one.id} one={one} now={now} remove={() => void remove(one.id)} />
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Panel>
    </>
  );
}

function Row({ one, now, remove }: { one: Simulation; now: number; remove: () => void }) {
  const t = useTranslate();
  const title = one.title || one.id.slice(0, 8);
  return (
    <tr data-simulation={one.state}>
      <th scope="row">
        <Link to={path("simulations", one.id)}>{title}</Link>
      </th>
      <td>
        <span className={`state ${one.state}`}>{stateOf(one, t)}</span>
        {one.state === "running" && <progress value={one.progress} max={1} aria-label={title} />}
        {one.error && (
          <span className="bad" lang="en">
            {" "}
            {one.error}
          </span>
        )}
      </td>
      <td className="number">{one.usdMonth == null ? "–" : dollars(one.usdMonth)}</td>
      <td className="number">{one.p99Ms == null ? "–" : `${one.p99Ms.toFixed(1)} ms`}</td>
      <td title={one.createdAt}>{ago(one.createdAt, now, t)}</td>
      <td>
        <button type="button" className="quiet" onClick={remove} aria-label={`${t(isActive(one) ? "sim.cancel" : "sim.forget")}: ${title}`}>
          {t(isActive(one) ? "sim.cancel" : "sim.forget")}
        </button>
      </td>
    </tr>
  );
}

function One({ id, now }: { id: string; now: number }) {
  const t = useTranslate();
  const { value } = useSimulation(id);
  const back = <Link to={path("simulations")}>← {t("sim.back")}</Link>;
  if (typeof value === "string") {
    return (
      <Panel name="simulation" title={t("sim.title")} aside={back}>
        <p className="empty" role="status">
          {t(`sim.${value}`)}
        </p>
      </Panel>
    );
  }
  return <SimulationResult detail={value} back={back} now={now} />;
}
