//! Target descriptions (gdb manual, appendix "Target Descriptions").

use std::fmt::Write;

use super::layout::{Feature, Layout};

/// Names of single bits; what lies between has no name.
type Bits = &'static [(&'static str, u32)];

const EFLAGS: Bits = &[
    ("CF", 0),
    ("", 1),
    ("PF", 2),
    ("AF", 4),
    ("ZF", 6),
    ("SF", 7),
    ("TF", 8),
    ("IF", 9),
    ("DF", 10),
    ("OF", 11),
    ("NT", 14),
    ("RF", 16),
    ("VM", 17),
    ("AC", 18),
    ("VIF", 19),
    ("VIP", 20),
    ("ID", 21),
];
const MXCSR: Bits = &[
    ("IE", 0),
    ("DE", 1),
    ("ZE", 2),
    ("OE", 3),
    ("UE", 4),
    ("PE", 5),
    ("DAZ", 6),
    ("IM", 7),
    ("DM", 8),
    ("ZM", 9),
    ("OM", 10),
    ("UM", 11),
    ("PM", 12),
    ("FZ", 15),
];
const CR0: Bits = &[
    ("PE", 0),
    ("MP", 1),
    ("EM", 2),
    ("TS", 3),
    ("ET", 4),
    ("NE", 5),
    ("WP", 16),
    ("AM", 18),
    ("NW", 29),
    ("CD", 30),
    ("PG", 31),
];
const CR4: Bits = &[
    ("VME", 0),
    ("PVI", 1),
    ("TSD", 2),
    ("DE", 3),
    ("PSE", 4),
    ("PAE", 5),
    ("MCE", 6),
    ("PGE", 7),
    ("PCE", 8),
    ("OSFXSR", 9),
    ("OSXMMEXCPT", 10),
    ("UMIP", 11),
    ("OSXSAVE", 18),
    ("SMEP", 20),
    ("SMAP", 21),
];
const EFER: Bits = &[("SCE", 0), ("LME", 8), ("LMA", 10), ("NXE", 11)];

/// The description of `layout`.
pub(super) fn describe(layout: Layout) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n",
    );
    let _ = writeln!(xml, "<architecture>{}</architecture>", layout.architecture());
    for feature in Feature::ALL {
        // gdb refuses a feature that it knows and that lacks its registers.
        if layout.rows().iter().all(|row| row.feature != feature) {
            continue;
        }
        let _ = writeln!(xml, "<feature name=\"{}\">", feature.name());
        types(&mut xml, feature, layout);
        for row in layout.rows().iter().filter(|row| row.feature == feature) {
            let group = match (feature, row.kind) {
                (Feature::System, _) => " group=\"system\"",
                (Feature::Core, "int") => " group=\"float\"",
                _ => "",
            };
            let (name, bits, kind) = (&row.name, row.bytes * 8, row.kind);
            let _ = writeln!(xml, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"{group}/>");
        }
        xml.push_str("</feature>\n");
    }
    xml.push_str("</target>\n");
    xml
}

/// The types that a feature's registers have.
fn types(xml: &mut String, feature: Feature, layout: Layout) {
    let word = if layout == Layout::Long { 8 } else { 4 };
    match feature {
        Feature::Core => flags(xml, "i386_eflags", 4, EFLAGS),
        Feature::Sse => {
            vectors(xml);
            flags(xml, "i386_mxcsr", 4, MXCSR);
        }
        Feature::Segments => {}
        Feature::System => {
            flags(xml, "cr0_bits", word, CR0);
            flags(xml, "cr4_bits", word, CR4);
            flags(xml, "efer_bits", word, EFER);
        }
    }
}

fn flags(xml: &mut String, id: &str, bytes: usize, bits: Bits) {
    let _ = writeln!(xml, "<flags id=\"{id}\" size=\"{bytes}\">");
    for (name, bit) in bits {
        let _ = writeln!(xml, "<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
    }
    xml.push_str("</flags>\n");
}

/// A 128-bit register as vectors of every element.
fn vectors(xml: &mut String) {
    const ELEMENTS: [(&str, &str, usize, &str); 6] = [
        ("v4f", "ieee_single", 4, "v4_float"),
        ("v2d", "ieee_double", 2, "v2_double"),
        ("v16i8", "int8", 16, "v16_int8"),
        ("v8i16", "int16", 8, "v8_int16"),
        ("v4i32", "int32", 4, "v4_int32"),
        ("v2i64", "int64", 2, "v2_int64"),
    ];
    for (id, element, count, _) in ELEMENTS {
        let _ = writeln!(xml, "<vector id=\"{id}\" type=\"{element}\" count=\"{count}\"/>");
    }
    xml.push_str("<union id=\"vec128\">\n");
    for (id, _, _, name) in ELEMENTS {
        let _ = writeln!(xml, "<field name=\"{name}\" type=\"{id}\"/>");
    }
    xml.push_str("<field name=\"uint128\" type=\"uint128\"/>\n</union>\n");
}
