import type { ReactNode } from "react";

interface Properties {
  /** Begins the ids of the parts. */
  name: string;
  title: string;
  /** Beside the title. */
  aside?: ReactNode;
  className?: string;
  children: ReactNode;
}

export function Panel({ name, title, aside, className = "", children }: Properties) {
  return (
    <section className={`panel ${className}`} aria-labelledby={`${name}-title`}>
      <div className="heading">
        <h2 id={`${name}-title`}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** A table that scrolls by itself, also by keyboard. */
export function Scroll({ name, tall = false, children }: { name: string; tall?: boolean; children: ReactNode }) {
  return (
    <div className={tall ? "scroll tall" : "scroll"} tabIndex={0} role="group" aria-labelledby={`${name}-title`}>
      {children}
    </div>
  );
}
