#![no_main]
//! Resource ids and selectors: what is read is printed as it was meant.

use arm_model::ResourceId;
use kube_store::selector::Selector;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    if let Ok(id) = ResourceId::parse(texts.0) {
        assert_eq!(ResourceId::parse(&id.to_string()), Ok(id), "an id survives being printed");
    }
    let _ = Selector::parse(texts.0, texts.1);
});
