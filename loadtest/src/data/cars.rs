//! Models on the road: how their VINs begin, which engines they had, and how many there are.

pub struct Model {
    pub make: &'static str,
    pub name: &'static str,
    pub wmi: &'static str,
    /// Positions 4-9; of North American and Chinese cars position 9 is replaced by the check digit.
    pub vds: &'static [&'static str],
    pub powers: &'static [u32],
    /// First and last model year.
    pub years: (i32, i32),
    pub plants: &'static str,
    /// Roubles new, for the kasko tariff.
    pub price: u32,
}

#[rustfmt::skip]
#[expect(clippy::too_many_arguments, reason = "one row of the table below")]
const fn model(make: &'static str, name: &'static str, wmi: &'static str, vds: &'static [&'static str], powers: &'static [u32], years: (i32, i32), plants: &'static str, price: u32) -> Model {
    Model { make, name, wmi, vds, powers, years, plants, price }
}

/// With the share of the car park.
#[rustfmt::skip]
pub const MODELS: &[(Model, f64)] = &[
    (model("Lada", "Granta", "XTA", &["219010", "219110", "219170", "219040"], &[87, 90, 98, 106], (2011, 2026), "0YU", 900_000), 95.0),
    (model("Lada", "Vesta", "XTA", &["GFL110", "GFL130", "GFL330", "GFK110"], &[106, 113, 122, 145], (2015, 2026), "0YU", 1_400_000), 60.0),
    (model("Lada", "Largus", "XTA", &["KS015L", "RS0Y5L", "FS0Y5L"], &[87, 102, 106], (2012, 2026), "0J", 1_300_000), 30.0),
    (model("Lada", "Niva", "XTA", &["212140", "213100", "212300"], &[80, 83], (2004, 2026), "0", 1_000_000), 40.0),
    (model("Lada", "Priora", "XTA", &["217030", "217230", "217130"], &[87, 98, 106], (2007, 2018), "0", 600_000), 45.0),
    (model("Lada", "Kalina", "XTA", &["111930", "111730", "219410"], &[81, 87, 106], (2004, 2018), "0", 550_000), 30.0),
    (model("Lada", "2114", "XTA", &["211440", "211540"], &[77, 81], (2003, 2013), "0", 300_000), 30.0),
    (model("Kia", "Rio", "Z94", &["C241BB", "C251BB", "C241BA", "CB41BA"], &[100, 107, 123], (2011, 2023), "FEDGHJKLMNPR", 1_500_000), 65.0),
    (model("Kia", "Ceed", "XWE", &["HN512A", "H7511A", "JD512A"], &[100, 128, 130, 140], (2008, 2022), "0", 1_700_000), 18.0),
    (model("Kia", "Sportage", "XWE", &["PH81AD", "PC811D", "PK81AB"], &[150, 177, 184], (2010, 2022), "0", 2_600_000), 25.0),
    (model("Kia", "Cerato", "XWE", &["FX413B", "F241AB"], &[126, 130, 150], (2009, 2022), "0", 1_900_000), 12.0),
    (model("Kia", "Optima", "XWE", &["GT411B", "GM41AB"], &[150, 188, 245], (2012, 2021), "0", 2_200_000), 9.0),
    (model("Hyundai", "Solaris", "Z94", &["CT41DB", "K241CB", "K241BB", "CU41DA"], &[100, 107, 123], (2010, 2023), "AR", 1_500_000), 65.0),
    (model("Hyundai", "Creta", "Z94", &["G2811D", "GB81AB", "G3811B"], &[121, 123, 149], (2016, 2023), "R", 2_100_000), 32.0),
    (model("Hyundai", "Tucson", "TMA", &["J381AD", "J3813C"], &[150, 177, 185], (2015, 2022), "J", 2_800_000), 12.0),
    (model("Hyundai", "Santa Fe", "KMH", &["SH81XD", "S381XB"], &[174, 188, 197, 200], (2007, 2022), "U", 3_600_000), 9.0),
    (model("Renault", "Logan", "X7L", &["4SRAV4", "LSRB1H", "4SREG4"], &[75, 82, 102, 113], (2005, 2022), "0123456789", 1_000_000), 40.0),
    (model("Renault", "Duster", "X7L", &["HSRDJN", "HSRHDN", "HSRGD4"], &[102, 109, 114, 143, 150], (2012, 2022), "0123456789", 1_700_000), 30.0),
    (model("Renault", "Sandero", "X7L", &["5SRAV4", "BSRBVH"], &[75, 82, 102, 113], (2010, 2022), "0123456789", 1_000_000), 14.0),
    (model("Renault", "Kaptur", "X7L", &["ASRENA", "ASRAMA"], &[114, 143, 150], (2016, 2022), "0123456789", 1_900_000), 10.0),
    (model("Volkswagen", "Polo", "XW8", &["ZZZ61Z", "ZZZCKZ", "ZZZ60Z"], &[85, 90, 105, 110, 125], (2010, 2022), "GK", 1_500_000), 38.0),
    (model("Volkswagen", "Tiguan", "XW8", &["ZZZ5NZ", "ZZZ5N2"], &[125, 150, 180, 220], (2009, 2022), "GK", 2_800_000), 14.0),
    (model("Volkswagen", "Passat", "WVW", &["ZZZ3CZ", "ZZZ3BZ"], &[122, 152, 170, 180], (2003, 2020), "EP", 2_500_000), 11.0),
    (model("Volkswagen", "Golf", "WVW", &["ZZZ1KZ", "ZZZAUZ"], &[102, 122, 125, 140], (2004, 2019), "WPU", 1_900_000), 8.0),
    (model("Skoda", "Octavia", "XW8", &["AC2NE1", "CK6NE2", "AN2NE9"], &[105, 110, 150, 180], (2009, 2022), "HJ", 2_200_000), 26.0),
    (model("Skoda", "Rapid", "XW8", &["AC1NH4", "AC4NH3", "AG1NH7"], &[90, 110, 122, 125], (2014, 2022), "GK", 1_600_000), 20.0),
    (model("Skoda", "Kodiaq", "TMB", &["LD9NS8", "LK7NS2"], &[125, 150, 180], (2017, 2022), "H", 3_200_000), 6.0),
    (model("Toyota", "Camry", "XW7", &["BF4FK0", "BE40K3", "BN4FK1"], &[150, 181, 200, 249], (2008, 2022), "S", 3_200_000), 28.0),
    (model("Toyota", "RAV4", "XW7", &["DF4EV0", "RF4FV9"], &[146, 149, 180, 199], (2016, 2022), "S", 3_300_000), 16.0),
    (model("Toyota", "Corolla", "NMT", &["BE9JE5", "B53JE0"], &[122, 124, 140], (2013, 2022), "R", 2_100_000), 14.0),
    (model("Toyota", "Land Cruiser Prado", "JTE", &["BX3FJ1", "BR3FJ8"], &[163, 177, 249, 282], (2009, 2022), "05K", 5_500_000), 9.0),
    (model("Nissan", "Qashqai", "SJN", &["FBAJ11", "FDNJ10"], &[115, 141, 144], (2007, 2016), "UA", 1_900_000), 14.0),
    (model("Nissan", "X-Trail", "Z8N", &["TANT31", "TBNT32"], &[130, 141, 144, 171], (2008, 2022), "ES", 2_600_000), 13.0),
    (model("Nissan", "Almera", "Z8N", &["AJL000", "BCWG11"], &[102], (2012, 2018), "5", 900_000), 10.0),
    (model("Mazda", "CX-5", "RUM", &["KE8978", "KFEW7W"], &[150, 192, 194, 231], (2012, 2022), "0", 2_900_000), 12.0),
    (model("Mitsubishi", "Outlander", "Z8T", &["XTGF3W", "XTCW6W"], &[146, 167, 230], (2012, 2022), "EGHJKL", 2_700_000), 12.0),
    (model("Ford", "Focus", "X9F", &["4XXEED", "5XXEEB", "KXXEEB"], &[85, 105, 125, 145, 150], (2005, 2019), "4567890", 1_300_000), 38.0),
    (model("Ford", "Mondeo", "X9F", &["DXXEEB", "4XXEEH"], &[149, 161, 199, 240], (2007, 2019), "DEFG", 1_700_000), 10.0),
    (model("Ford", "Explorer", "1FM", &["5K8F80", "5K8D80"], &[249, 294, 345], (2011, 2019), "GE", 3_800_000), 5.0),
    (model("Chevrolet", "Cruze", "XUU", &["NF356J", "JF356J"], &[109, 124, 140, 141], (2009, 2015), "DEF", 1_000_000), 14.0),
    (model("Chevrolet", "Tahoe", "1GN", &["SKBKC0", "SK8KC0"], &[325, 343, 426], (2007, 2021), "RJ", 6_500_000), 3.0),
    (model("Opel", "Astra", "XUF", &["0AHL48", "0TGF48"], &[105, 115, 140, 180], (2005, 2015), "25", 1_000_000), 14.0),
    (model("BMW", "X5", "5UX", &["KR0C50", "CR6C00"], &[218, 249, 306, 340], (2007, 2021), "0L", 7_500_000), 6.0),
    (model("BMW", "3", "X4X", &["3D594A", "8A9940"], &[136, 150, 184, 249], (2006, 2022), "05", 3_900_000), 10.0),
    (model("Mercedes-Benz", "E", "WDD", &["212003", "213004", "212034"], &[184, 204, 245, 249], (2009, 2022), "1AB", 5_500_000), 9.0),
    (model("Mercedes-Benz", "C", "WDD", &["204049", "205040"], &[156, 180, 184, 204], (2008, 2022), "1AFR", 4_200_000), 6.0),
    (model("Audi", "A6", "WAU", &["ZZZ4F0", "ZZZ4G2"], &[170, 180, 190, 249, 300], (2005, 2021), "N", 4_500_000), 7.0),
    (model("Haval", "Jolion", "XZG", &["FE03A0", "FF05A4"], &[143, 150], (2021, 2026), "A", 2_300_000), 22.0),
    (model("Chery", "Tiggo 7 Pro", "LVT", &["DB21B0", "DB24B0"], &[122, 147, 150], (2020, 2026), "MDC", 2_500_000), 18.0),
    (model("Geely", "Coolray", "LB3", &["7722S0", "8E22S0"], &[122, 147, 150], (2019, 2026), "LGH", 2_300_000), 10.0),
    (model("Geely", "Monjaro", "L6T", &["7922S0"], &[238], (2022, 2026), "N", 4_200_000), 7.0),
    (model("Changan", "CS35 Plus", "LS5", &["A3DKE0", "A3ABR0"], &[128, 158], (2019, 2026), "DAB", 2_000_000), 8.0),
    (model("Exeed", "TXL", "LVT", &["DD24B0"], &[186, 249], (2020, 2026), "PD", 3_700_000), 5.0),
    (model("UAZ", "Patriot", "XTT", &["316300", "236320"], &[135, 150], (2005, 2026), "0123456789", 1_600_000), 12.0),
    (model("GAZ", "Gazelle Next", "X96", &["A21R22", "A21R32"], &[107, 120, 149], (2013, 2026), "0", 2_200_000), 10.0),
    (model("Daewoo", "Nexia", "XWB", &["3L31UD", "4A11BD"], &[75, 80, 89, 109], (2003, 2016), "A", 400_000), 14.0),
];
